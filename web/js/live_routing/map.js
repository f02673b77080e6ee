// @ts-check
/**
 * From a map as it is sent to a picture of it.
 */

/**
 * The numbers of a map.
 *
 * @param {string} text in base64
 * @returns {Uint8Array}
 */
export function decoded(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/**
 * Red, green and blue, 0 to 255.
 *
 * @param {string} colour as #rrggbb
 * @returns {[number, number, number]}
 */
export function channels(colour) {
    const value = Number.parseInt(colour.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
}

/**
 * Every spot in the colours of those who share it, and as opaque as much of it is somebody's.
 *
 * @param {Uint8Array} map what everybody has of each spot, 0 to 255: all spots of the first person, then of the next
 * @param {string[]} colours one per person, as #rrggbb
 * @returns {Uint8ClampedArray<ArrayBuffer>} red, green, blue, alpha of each spot
 */
export function painted(map, colours) {
    const spots = map.length / colours.length;
    const mixed = new Float32Array(4 * spots);
    for (const [person, colour] of colours.entries()) {
        const [red, green, blue] = channels(colour);
        for (let spot = 0; spot < spots; spot++) {
            const share = map[person * spots + spot];
            mixed[4 * spot] += share * red;
            mixed[4 * spot + 1] += share * green;
            mixed[4 * spot + 2] += share * blue;
            mixed[4 * spot + 3] += share;
        }
    }
    const pixels = new Uint8ClampedArray(4 * spots);
    for (let spot = 0; spot < spots; spot++) {
        const all = mixed[4 * spot + 3];
        for (let channel = 0; channel < 3; channel++) {
            pixels[4 * spot + channel] = all && mixed[4 * spot + channel] / all;
        }
        pixels[4 * spot + 3] = all;
    }
    return pixels;
}

// @ts-check
/**
 * What the live map uses of the front end, and what the server sends.
 *
 * @typedef {{ name: string, serialize?: boolean, options?: object, onRemove?: () => void }} Widget
 *
 * @typedef {{ id: string | number, comfyClass?: string, type?: string, size: ArrayLike<number>, widgets?: Widget[],
 *   serialize_widgets?: boolean, subgraph?: Graph, graph?: Graph | null,
 *   computeSize(): ArrayLike<number>, setSize(size: [number, number]): void,
 *   setDirtyCanvas?(foreground: boolean, background: boolean): void,
 *   addDOMWidget?(name: string, type: string, element: HTMLElement, options: object): Widget }} GraphNode
 *
 * @typedef {{ _nodes?: GraphNode[], nodes?: GraphNode[] }} Graph
 *
 * @typedef {{ colour: string, face: string | null }} Person a colour as #rrggbb; a face as the address of a picture
 * @typedef {{ node: string, people: Person[] }} Begin a sampling begins
 * @typedef {{ node: string, step: number | null, steps: number | null, height: number, width: number, map: string,
 *   shares: number[], missing: number[] }} Step who is where after a step; the map in base64, person after person
 */

export {};

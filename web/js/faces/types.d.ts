// What the scripts of the faces know of each other's data, and of the front end: only what they use of it.

/** A face as the node found it, in pixels of the photo. */
export interface Face {
    /** left, top, right, bottom */
    box: [number, number, number, number];
    landmarks: [number, number][];
    /** 0..1 */
    confidence: number;
}

/** A photo in a node's UI data, `faces`; the settings are those of the run. */
export interface Photo {
    photo: Record<string, string>;
    width: number;
    height: number;
    order: string;
    min_confidence: number;
    index: number | null;
    /** in the order in which the detector gave them */
    faces: Face[];
}

/** How faces are numbered now, by the widgets. */
export interface Numbering {
    order: string;
    minConfidence: number;
}

/** A face as it is drawn. `number` is what the node takes it by; null where it is not taken at all. */
export interface Frame {
    face: Face;
    number: number | null;
    chosen: boolean;
    /** who uses it, where that is not the node itself */
    users: string[];
    label: string;
}

export interface ShownPhoto {
    url: string;
    width: number;
    height: number;
    frames: Frame[];
    note: string;
    /** the photo lacks the face that is chosen */
    lacking: boolean;
}

/** One of several things that a click on a face can mean. */
export interface Choice {
    label: string;
    run: () => void;
}

export interface Panel {
    element: HTMLElement;
    /** Height that the panel needs, in pixels, if it is so wide. */
    height(width: number): number;
    show(photos: ShownPhoto[], locked: string): void;
    say(text: string): void;
    offer(question: string, choices: Choice[]): void;
}

/** A node that takes one of the faces that Detect Faces shows. */
export interface Taker {
    node: GraphNode;
    title: string;
    /** Which face it takes of a photo; null for none. */
    takes(photo: number): Face | null;
    /** Makes it take another face; false where a connection sets the number. */
    choose(photo: number, face: Face, number: number): boolean;
}

export interface Widget {
    name: string;
    type?: string;
    value: unknown;
    hidden?: boolean;
    serialize?: boolean;
    options?: Record<string, unknown>;
    callback?: ((...values: any[]) => unknown) | null;
    computeLayoutSize?: () => { minHeight: number; maxHeight?: number; minWidth: number };
}

export interface Link {
    origin_id: number | string;
    origin_slot: number;
    target_id: number | string;
    target_slot: number;
}

export interface Graph {
    id?: string;
    isRootGraph?: boolean;
    _nodes?: GraphNode[];
    links: any;
    getLink?: (id: number) => Link | undefined;
    getNodeById: (id: number | string) => GraphNode | null | undefined;
}

export interface GraphNode {
    id: number | string;
    type: string;
    title?: string;
    mode?: number;
    comfyClass?: string;
    graph?: Graph | null;
    size: [number, number];
    widgets?: Widget[];
    inputs?: { name: string; link: number | null; widget?: { name: string } }[];
    outputs?: { name: string; links: number[] | null }[];
    hideOutputImages?: boolean;
    onExecuted?: (...values: any[]) => unknown;
    onConfigure?: (...values: any[]) => unknown;
    onAdded?: (...values: any[]) => unknown;
    onRemoved?: (...values: any[]) => unknown;
    onDrawBackground?: (...values: any[]) => unknown;
    onWidgetChanged?: (...values: any[]) => unknown;
    getTitle?: () => string;
    computeSize?: () => [number, number];
    setSize?: (size: [number, number]) => void;
    setDirtyCanvas?: (front: boolean, back: boolean) => void;
    addDOMWidget?: (name: string, type: string, element: HTMLElement, options: Record<string, unknown>) => Widget;
}

export interface App {
    api: { apiURL: (path: string) => string };
    canvas?: {
        canvas?: HTMLCanvasElement;
        emitBeforeChange?: () => void;
        emitAfterChange?: () => void;
    };
    nodeOutputs?: Record<string, { faces?: unknown } | undefined>;
    registerExtension: (extension: Record<string, unknown>) => void;
}

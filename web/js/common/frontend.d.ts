/** What the pack's scripts use of ComfyUI's front end: no more than that, and only for the type checker. */

export interface Widget {
    name: string;
    type: string;
    value: unknown;
    options: { values?: unknown; [name: string]: unknown };
    serialize?: boolean;
    callback?: (value: unknown, ...rest: unknown[]) => void;
    element?: HTMLElement;
}

export interface Slot {
    name: string;
    type: unknown;
    link?: number | null;
    links?: number[] | null;
}

export interface Link {
    target_id: number | string;
}

export interface GraphNode {
    id: number | string;
    type: string;
    pos: ArrayLike<number> & { [index: number]: number };
    size: ArrayLike<number> & { [index: number]: number };
    widgets?: Widget[];
    inputs?: Slot[];
    outputs?: Slot[];
    graph?: Graph | null;
    subgraph?: Graph;
    hideOutputImages?: boolean;
    onConfigure?: (...rest: unknown[]) => void;
    connect(slot: number, target: GraphNode, targetSlot: number): unknown;
    addWidget(
        type: string,
        name: string,
        value: unknown,
        callback: () => void,
        options?: Record<string, unknown>,
    ): Widget;
    addDOMWidget(name: string, type: string, element: HTMLElement, options?: Record<string, unknown>): Widget;
    setDirtyCanvas?(foreground: boolean, background: boolean): void;
}

export interface Graph {
    _nodes: GraphNode[];
    links: Map<number, Link> & Record<number, Link>;
    add(node: GraphNode): unknown;
    getNodeById(id: number | string): GraphNode | null;
}

export interface GraphCanvas {
    canvas: HTMLCanvasElement;
    constructor: Function & { link_type_colors?: Record<string, string> };
    default_connection_color_byType?: Record<string, string>;
    graph: Graph | null;
    selectItems?(items: GraphNode[]): void;
    emitBeforeChange?(): void;
    emitAfterChange?(): void;
    setDirty(foreground: boolean, background: boolean): void;
}

export interface MenuItem {
    content: string;
    callback: () => void;
}

/** The class of a node type. */
export interface NodeClass {
    prototype: {
        getExtraMenuOptions?: (this: GraphNode, canvas: unknown, options: (MenuItem | null)[]) => unknown;
    };
}

export interface NodeDefinition {
    name: string;
    output?: unknown;
}

export interface SidebarTab {
    id: string;
    icon: string;
    title: string;
    tooltip: string;
    type: "custom";
    render(element: HTMLElement): void;
    destroy?(): void;
}

export interface ExtensionManager {
    registerSidebarTab(tab: SidebarTab): void;
    toast?: { add(message: { severity: string; summary: string; detail: string; life?: number }): void };
    dialog?: {
        prompt?(question: { title: string; message: string; defaultValue: string }): Promise<string | null>;
        confirm?(question: {
            title: string;
            message: string;
            type: string;
            itemList: string[];
        }): Promise<boolean | null>;
    };
}

export interface Extension {
    name: string;
    setup?(): void | Promise<void>;
    nodeCreated?(node: GraphNode): void;
    beforeRegisterNodeDef?(node: NodeClass, definition: NodeDefinition): void;
    afterConfigureGraph?(): void;
    refreshComboInNodes?(): void;
    onNodeOutputsUpdated?(): void;
    settings?: Record<string, unknown>[];
}

export interface App {
    api: Api;
    graph: Graph;
    rootGraph?: Graph;
    canvas: GraphCanvas;
    extensionManager: ExtensionManager;
    registerExtension(extension: Extension): void;
    clientPosToCanvasPos(position: [number, number]): [number, number];
    queuePrompt(number: number, count: number, nodes?: string[]): Promise<boolean>;
}

export interface Api {
    clientId?: string;
    apiURL(route: string): string;
    fetchApi(route: string, options?: RequestInit): Promise<Response>;
    addEventListener(event: string, listener: (event: CustomEvent) => void): void;
}

declare global {
    const LiteGraph: { createNode(type: string): GraphNode | null };
}

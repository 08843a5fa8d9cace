import type { VNode } from "preact";
export function OwnerPage(_: object): VNode { return <p>owner</p>; }

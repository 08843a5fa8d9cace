// SPDX-License-Identifier: Apache-2.0
/** Small parts that every page uses. */

import type { ComponentChildren, VNode } from "preact";
import { useEffect, useReducer, useRef, useState } from "preact/hooks";

import { applyTheme, readTheme, type Theme } from "./theme";

const PATHS: Record<string, string> = {
  help: "M9.1 9a3 3 0 1 1 4.4 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.6v.1",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z",
  auto: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  out: "M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4M10 8l-4 4 4 4M6 12h9",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  undo: "M8 5L4 9l4 4M4 9h9a6 6 0 0 1 0 12h-3",
  redo: "M16 5l4 4-4 4M20 9h-9a6 6 0 0 0 0 12h3",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  whole: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  edit: "M5 3l6 16 2.2-6.3L19.5 10.5z",
  draw: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M12 9v6M9 12h6",
  hand: "M8 12V5.5a1.5 1.5 0 0 1 3 0V11m0-1V4.5a1.5 1.5 0 0 1 3 0V11m0-.5V6.5a1.5 1.5 0 0 1 3 0V14c0 4-2.5 7-6 7-3.2 0-4.5-1.5-7-6.5-.8-1.6 1-2.5 2-1.5l2 2",
  heart: "M12 20S4 15 4 9.5A4.2 4.2 0 0 1 12 7.5a4.2 4.2 0 0 1 8 2C20 15 12 20 12 20z",
  clock: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3 2",
  check: "M5 12.5l4.5 4.5L19 7.5",
  cloud: "M12 16V9M9 12l3-3 3 3M7 19a4.5 4.5 0 0 1-.5-9 6 6 0 0 1 11.5 1.5A3.8 3.8 0 0 1 17.5 19z",
  eye: "M2.5 12c5-8 14-8 19 0-5 8-14 8-19 0zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
};

export function Icon({ name, filled = false }: { name: string; filled?: boolean }): VNode {
  return (
    <svg class={filled ? "icon filled" : "icon"} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name] ?? ""} />
    </svg>
  );
}

/** Draw again whenever `listen` says that something changed. */
export function useListen(listen: (tell: () => void) => () => void, key: unknown): void {
  const [, again] = useReducer((n: number, _: undefined) => n + 1, 0);
  useEffect(() => listen(() => again(undefined)), [key]);
}

/** A dialog of the browser's own: it keeps the focus and closes with Esc. */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  /** Wide enough for a picture. */
  isWide?: boolean;
  /** The person must choose one of the buttons. */
  isForced?: boolean;
}): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.isWide ? "dialog wide" : "dialog"}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        if (!props.isForced) props.onClose();
      }}
    >
      <div class="dialog-body">
        <h2 id="dialog-title">{props.title}</h2>
        {props.children}
      </div>
    </dialog>
  );
}

const THEMES: Record<Theme, { next: Theme; icon: string; says: string }> = {
  system: { next: "light", icon: "auto", says: "Colours as the system" },
  light: { next: "dark", icon: "sun", says: "Light colours" },
  dark: { next: "system", icon: "moon", says: "Dark colours" },
};

export function ThemeSwitch(): VNode {
  const [theme, setTheme] = useState(readTheme);
  const { next, icon, says } = THEMES[theme];
  const change = (): void => {
    applyTheme(next);
    setTheme(next);
  };
  const text = `${says}; change to: ${THEMES[next].says.toLowerCase()}`;
  return (
    <button class="quiet icon-only" type="button" onClick={change} title={text} aria-label={text}>
      <Icon name={icon} />
    </button>
  );
}

/** A page that holds only a message and what can be done about it. */
export function Notice(props: { title: string; children: ComponentChildren }): VNode {
  return (
    <main class="notice">
      <h1>{props.title}</h1>
      {props.children}
    </main>
  );
}

/** What an error says to the person. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong. Load the page again.";
}

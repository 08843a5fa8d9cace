// SPDX-License-Identifier: Apache-2.0
/** Dark, light, or as the system says; the choice stays in this browser. */

export type Theme = "system" | "light" | "dark";

const NAME = "veilset-theme";

/** What this browser keeps; null where storage is switched off. */
export function stored(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function store(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Without storage the choice lasts until the page is closed.
  }
}

export function readTheme(): Theme {
  const value = stored(NAME);
  return value === "light" || value === "dark" ? value : "system";
}

export function applyTheme(theme: Theme): void {
  const isDark =
    theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset["theme"] = isDark ? "dark" : "light";
  store(NAME, theme);
}

export function startTheme(): void {
  applyTheme(readTheme());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    applyTheme(readTheme()),
  );
}

// SPDX-License-Identifier: Apache-2.0
/** What the server is asked for again and again while it is looked at. */

import { useEffect, useState } from "preact/hooks";

export type Polled<T> = {
  readonly value: T | null;
  readonly error: unknown;
  readonly refresh: () => void;
};

/** Ask now and every so often, as long as it is wanted and the page is in sight. */
export function usePolled<T>(ask: () => Promise<T>, everyMs: number, isWanted = true): Polled<T> {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState<unknown>(null);
  const refresh = async (): Promise<void> => {
    try {
      setValue(await ask());
      setError(null);
    } catch (problem) {
      setError(problem);
    }
  };
  useEffect(() => {
    if (!isWanted) return;
    void refresh();
    const timer = setInterval(() => {
      if (!document.hidden) void refresh();
    }, everyMs);
    return () => clearInterval(timer);
  }, [isWanted]);
  return { value, error, refresh: () => void refresh() };
}

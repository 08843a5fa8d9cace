// SPDX-License-Identifier: Apache-2.0
/** Pictures of a batch: fetched and decoded before they are needed, freed when they are not. */

export class Pictures {
  private readonly kept = new Map<number, Promise<ImageBitmap>>();
  private wanted: ReadonlySet<number> = new Set();

  constructor(private readonly fetchBlob: (taskId: number) => Promise<Blob>) {}

  /** Give a picture, decoded. A failure is forgotten, so that the next call tries again. */
  get(taskId: number): Promise<ImageBitmap> {
    const known = this.kept.get(taskId);
    if (known) return known;
    const coming = this.fetchBlob(taskId).then((blob) => createImageBitmap(blob));
    this.kept.set(taskId, coming);
    coming.catch(() => {
      if (this.kept.get(taskId) === coming) this.kept.delete(taskId);
    });
    return coming;
  }

  /** Keep only these pictures, and fetch what is missing, in this order. */
  keep(taskIds: readonly number[]): void {
    const wanted = new Set(taskIds);
    this.wanted = wanted;
    for (const [taskId, coming] of this.kept) {
      if (wanted.has(taskId)) continue;
      this.kept.delete(taskId);
      // The bitmap lives outside the reach of garbage collection.
      coming.then(
        (picture) => picture.close(),
        () => undefined,
      );
    }
    void this.fetch(wanted);
  }

  /** One after another, so that the picture somebody waits for does not share its way. */
  private async fetch(wanted: ReadonlySet<number>): Promise<void> {
    for (const taskId of wanted) {
      if (this.wanted !== wanted) return;
      await this.get(taskId).catch(() => undefined);
    }
  }
}

/** Where what must outlive a reload is kept. */

/**
 * A table of small values by name. Every change is durable when its promise resolves, as far as
 * the platform promises that.
 */
export interface Storage {
  /** Every entry whose name starts with `prefix`, by name. */
  list(prefix: string): Promise<ReadonlyArray<readonly [name: string, value: unknown]>>;
  /** Puts and removes entries together: all of them or none. */
  change(
    puts: ReadonlyArray<readonly [name: string, value: unknown]>,
    removes: readonly string[],
  ): Promise<void>;
  close(): void;
}

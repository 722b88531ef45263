/** Acts that are under way, by the key of what they act on. It is empty where none is. */
export class Underway {
  readonly #acts = new Map<string, Promise<void>>()

  /** Resolves and rejects as the act does. */
  async follow<T> (key: string, act: Promise<T>): Promise<T> {
    const ended = Promise.allSettled([this.#acts.get(key), act]).then(() => {
      if (this.#acts.get(key) === ended) this.#acts.delete(key)
    })
    this.#acts.set(key, ended)
    return await act
  }

  /** Resolves when the acts have ended that are under way now, whatever came of them. */
  async ended (key: string): Promise<void> {
    await this.#acts.get(key)
  }
}

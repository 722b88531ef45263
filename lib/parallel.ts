/** Does the same for each of several things, so many at once; rejects when all that was begun has ended. */
export async function inParallel<T> (things: readonly T[], most: number, act: (thing: T) => Promise<void>): Promise<void> {
  const left = things[Symbol.iterator]()
  const work = async (): Promise<void> => { for (const thing of left) await act(thing) }
  const workers = await Promise.allSettled(Array.from({ length: Math.min(most, things.length) }, work))
  for (const worker of workers) if (worker.status === 'rejected') throw worker.reason
}

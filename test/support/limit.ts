/** A stopwatch that runs on the event loop, so that a busy machine stops it as it stops what is measured. */
export function startLimit (ms: number): { stop (): boolean } {
  let isOver = false
  // What was due at the same time has its turn first.
  const timer = setTimeout(() => setImmediate(() => setImmediate(() => { isOver = true })), ms)
  return {
    /** Whether it was over before. */
    stop () {
      clearTimeout(timer)
      return isOver
    }
  }
}

/** What comes of something, and whether it came later than it may. */
export async function timed<T> (ms: number, act: Promise<T>): Promise<{ response: T, isLate: boolean }> {
  const limit = startLimit(ms)
  const response = await act
  return { response, isLate: limit.stop() }
}

/** Called with an error, or with null and what was asked for. */
export type Callback<T = void> = (error: unknown, value?: T) => void

/**
 * Tells a callback once, whatever it does: outside of the promise, so that what it throws is thrown as by any callback, and
 * is not taken for a failure of the work, which would call it again. Without a callback, the promise is the answer.
 */
export function answer<T> (work: Promise<T>, callback: unknown): Promise<T> | undefined {
  if (typeof callback === 'function') {
    work.then(value => { process.nextTick(callback as Callback<T>, null, value) }, error => { process.nextTick(callback as Callback<T>, error) })
    return undefined
  }
  // A host that hands on the callback it was not given awaits nothing, and must not end the process by that.
  work.catch(() => {})
  return work
}

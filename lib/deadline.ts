/**
 * Runs a call that must end within a number of seconds. The signal tells it to stop; the race ends the wait also where
 * the call does not listen, as a client handed in by the application may not.
 */
export async function withDeadline<T> (seconds: number, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const error = new Error(`No answer within ${seconds} s.`)
      error.name = 'TimeoutError'
      reject(error)
      controller.abort(error)
    }, seconds * 1000)
  })
  try {
    return await Promise.race([call(controller.signal), deadline])
  } finally {
    clearTimeout(timer)
  }
}

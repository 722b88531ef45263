/** A time limit that all calls of one operation share. */
export class Deadline {
  readonly #seconds: number
  readonly #end: number

  constructor (seconds: number) {
    this.#seconds = seconds
    this.#end = performance.now() + seconds * 1000
  }

  /**
   * Runs a call that must end in time. The signal tells it to stop; the race ends the wait also where the call does not
   * listen, as a client handed in by the application may not.
   */
  async run<T> (call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const left = this.#end - performance.now()
    if (left <= 0) throw this.#error()
    const controller = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        const error = this.#error()
        reject(error)
        controller.abort(error)
      }, Math.ceil(left))
    })
    try {
      return await Promise.race([call(controller.signal), deadline])
    } finally {
      clearTimeout(timer)
    }
  }

  #error (): Error {
    const error = new Error(`No answer within ${this.#seconds} s.`)
    error.name = 'TimeoutError'
    return error
  }
}

import { Stop } from './stop.js'

/** A time limit that all calls of one operation share. */
export class Deadline {
  readonly #seconds: number
  /** By the clock of `performance`; 0 as soon as a call has come to it. */
  #end: number

  constructor (seconds: number) {
    this.#seconds = seconds
    this.#end = performance.now() + seconds * 1000
  }

  /**
   * Runs a call that must end in time. It is told to stop; the wait ends also where the call does not listen, as a client
   * handed in by the application may not.
   *
   * A timer for each call is cheap: Node keeps those of equal length in one list with one alarm. So their length is whole
   * milliseconds.
   */
  run<T> (call: (stop: Stop) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const left = this.#end - performance.now()
      if (left <= 0) throw this.#error()
      const stop = new Stop()
      // What is called may belong to the application, and give anything.
      const answer = Promise.resolve(call(stop))
      let look: NodeJS.Immediate | undefined
      const timer = setTimeout(() => {
        // Where the process itself was busy until now, the answer may be there, and nobody has looked at it yet.
        look = setImmediate(() => {
          const error = this.#error()
          // A timer may ring almost a millisecond early.
          this.#end = 0
          reject(error)
          stop.stop(error)
        })
      }, Math.ceil(left))
      const end = (): void => {
        clearTimeout(timer)
        if (look !== undefined) clearImmediate(look)
      }
      answer.then(value => {
        end()
        resolve(value)
      }, (error: unknown) => {
        end()
        reject(error)
      })
    })
  }

  #error (): Error {
    const error = new Error(`No answer within ${this.#seconds} s.`)
    error.name = 'TimeoutError'
    return error
  }
}

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** The other end: a child process, or a worker of node:cluster. */
export interface Other {
  send (message: object): unknown
  on (event: 'message', listener: (message: unknown) => void): unknown
  off (event: 'message', listener: (message: unknown) => void): unknown
  once (event: 'exit', listener: () => void): unknown
  off (event: 'exit', listener: () => void): unknown
}

interface Question { readonly question: number, readonly name: string, readonly given?: unknown }

interface Answer { readonly answer: number, readonly value?: unknown, readonly problem?: string }

let questions = 0

/** Asks a process, and resolves to its answer. Rejects where it could not do it, or ends. */
export async function ask<T> (other: Other, name: string, given?: unknown): Promise<T> {
  const question = ++questions
  return await new Promise<T>((resolve, reject) => {
    const end = (): void => { settle(() => reject(new Error(`A process ended before it answered "${name}"`))) }
    const hear = (message: unknown): void => {
      const { answer, value, problem } = message as Answer
      if (answer !== question) return
      settle(() => { problem === undefined ? resolve(value as T) : reject(new Error(problem)) })
    }
    const settle = (act: () => void): void => {
      other.off('message', hear)
      other.off('exit', end)
      act()
    }
    other.on('message', hear)
    other.once('exit', end)
    other.send({ question, name, given } satisfies Question)
  })
}

/** Answers the questions of the process that started this one, and ends with it. */
export function answer (acts: Readonly<Record<string, (given: never) => unknown>>): void {
  process.once('disconnect', () => { process.exit() })
  process.on('message', (message: unknown) => {
    const { question, name, given } = message as Question
    const act = acts[name]
    if (question === undefined || act === undefined) return
    Promise.resolve().then(async () => await act(given as never)).then(
      value => process.send?.({ answer: question, value } satisfies Answer),
      (error: unknown) => process.send?.({ answer: question, problem: String(error) } satisfies Answer))
  })
}

/** Starts a compiled program, and waits until it is ready. */
export async function start<T> (file: string, settings: object = {}): Promise<{ child: ChildProcess, ready: T }> {
  const child = fork(file, [JSON.stringify(settings)], { execArgv: ['--expose-gc', '--no-warnings'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  return { child, ready: await ask<T>(child, 'ready') }
}

export async function stop (child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.disconnect()
  await once(child, 'exit')
}

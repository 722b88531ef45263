import type { DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import type { Test } from 'tap'
import { run } from '../../cli/run.js'
import { startDynalite, type Engine } from './engines.js'
import { FaultProxy, type Interception } from './proxy.js'

export interface Setting {
  readonly env?: Readonly<Record<string, string>>
  /** Whether both streams are a terminal of so many columns. */
  readonly columns?: number
  readonly now?: () => number
  readonly sleep?: (milliseconds: number) => Promise<void>
  readonly stop?: AbortSignal
  readonly aws?: DynamoDBClientConfig
}

export interface Told {
  readonly code: number
  readonly out: string
  readonly err: string
  /** The one JSON document on standard output. */
  readonly json: any
}

const LOCAL: DynamoDBClientConfig = { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }

/** Runs the command line in this process: what it says on each stream, and its exit code. */
export async function command (argv: readonly string[], setting: Setting = {}): Promise<Told> {
  const { env = {}, columns, now = Date.now, sleep = async () => {}, stop = new AbortController().signal, aws = LOCAL } = setting
  const said = { out: '', err: '' }
  const sink = (name: 'out' | 'err') => ({ write: (text: string) => { said[name] += text }, isTTY: columns !== undefined, columns })
  const code = await run(argv, { out: sink('out'), err: sink('err'), env, now, sleep, aws, stop: () => stop })
  return { code, ...said, get json () { return JSON.parse(said.out) } }
}

/** The arguments that lead to a table of an engine on this machine. */
export function at ({ endpoint }: { readonly endpoint: string }, table: string): string[] {
  return ['--endpoint', endpoint, '--region', 'eu-central-1', '--table', table]
}

/** A proxy before an engine, for the time of a test. */
export async function proxied (t: Test, engine: { readonly endpoint: string }, intercept?: Interception): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(engine)
  if (intercept !== undefined) proxy.intercept = intercept
  t.teardown(async () => await proxy.close())
  return proxy
}

/** An engine of a test's own, with a proxy before it. */
export async function engineOf (t: Test): Promise<{ readonly engine: Engine, readonly proxy: FaultProxy }> {
  const engine = await startDynalite()
  const proxy = await FaultProxy.start(engine)
  t.teardown(async () => {
    await proxy.close()
    await engine.close()
  })
  return { engine, proxy }
}

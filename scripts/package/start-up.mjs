// What an import takes of a processor, beside an import of Fastify and of the SDK: in processes of their own, in turns, so that
// what slows the machine down slows all of them down. Ratios are medians of the ratios of each round.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ENTRIES } from './applications.mjs'
import { node } from './steps.mjs'

const PEERS = ['fastify', '@aws-sdk/client-dynamodb']

/** What is imported first, and what is measured after that. */
const MEASURED = {
  fastify: [[], 'fastify'],
  '@aws-sdk/client-dynamodb': [[], '@aws-sdk/client-dynamodb'],
  ...Object.fromEntries(ENTRIES.map(entry => [entry, [[], entry]])),
  'fastify-dynamodb-session, where both are there': [PEERS, ENTRIES[0]]
}

const PROGRAM = `
const [, , measured, ...first] = process.argv
for (const name of first) await import(name)
const begin = process.cpuUsage()
await import(measured)
const { user, system } = process.cpuUsage(begin)
process.stdout.write(String((user + system) / 1000))
`

export async function measureStartUp (installed, rounds) {
  writeFileSync(join(installed, 'start-up.mjs'), PROGRAM)
  const times = Object.fromEntries(Object.keys(MEASURED).map(name => [name, []]))
  // The first round only fills caches.
  for (let round = 0; round <= rounds; round++) {
    for (const [name, [first, measured]] of Object.entries(MEASURED)) {
      const { stdout } = await node(['start-up.mjs', measured, ...first], { cwd: installed })
      if (round > 0) times[name].push(Number(stdout))
    }
  }
  const base = times.fastify
  return Object.entries(times).map(([name, all]) => ({ name, milliseconds: median(all), ratio: median(all.map((time, round) => time / base[round])) }))
}

export function startUpTable (figures) {
  const rows = figures.map(({ name, milliseconds, ratio }) => `| ${name} | ${milliseconds.toFixed(0)} | ${ratio.toFixed(2)} |`)
  return ['| import of | ms of a processor | to Fastify |', '|---|---|---|', ...rows].join('\n')
}

function median (values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}

// Packs the package as npm publishes it, here and in a copy elsewhere.
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { assert, npm } from './steps.mjs'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** What a fresh clone does not have. */
const MADE = ['node_modules', '.git', 'dist', '.tap', 'test-output']

async function pack (from, destination) {
  mkdirSync(destination, { recursive: true })
  const { stdout } = await npm(['pack', '--json', '--pack-destination', destination], { cwd: from })
  // What the build prints stands before it.
  const [packed] = Object.values(JSON.parse(stdout.slice(stdout.search(/^[[{]/m))))
  return { ...packed, path: join(destination, packed.filename) }
}

/** Builds and packs. The answer has `path`, `integrity`, `size` and `unpackedSize` in bytes, and `files`. */
export async function packHere (folder) {
  return await pack(root, join(folder, 'here'))
}

/** The same bytes come of the same sources in another folder, so that anybody can see that what is published was built of them. */
export async function checkReproducible (folder, { integrity }) {
  const copy = join(folder, 'copy')
  cpSync(root, copy, { recursive: true, filter: source => !MADE.includes(relative(root, source)) })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction')
  const other = await pack(copy, join(folder, 'elsewhere'))
  assert(other.integrity === integrity, `packed here it is ${integrity}, elsewhere ${other.integrity}`)
}

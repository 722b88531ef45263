// Runs before all tests: compiles everything, makes the folder in which their processes leave their notes, and starts the engine that
// they share.
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hasJava, shareDynamoDBLocal, stopSharing } from './engines.js'
import { FOLDER } from './silence-search.js'
import { prepare } from './transpile.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const SOURCES = ['bench', 'cli', 'demo', 'examples', 'import', 'lib', 'store', 'test', 'testing', 'types']

await prepare(SOURCES.flatMap(folder => readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
  .filter(({ name }) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
  .map(({ parentPath, name }) => join(parentPath, name))))

rmSync(FOLDER, { recursive: true, force: true })
mkdirSync(FOLDER, { recursive: true })
stopSharing()
if (hasJava()) await shareDynamoDBLocal(process.ppid)

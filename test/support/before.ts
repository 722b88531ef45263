// Runs before all tests: makes the folder in which their processes leave their notes, and starts the engine that they share.
import { mkdirSync, rmSync } from 'node:fs'
import { hasJava, shareDynamoDBLocal, stopSharing } from './engines.js'
import { FOLDER } from './silence-search.js'

rmSync(FOLDER, { recursive: true, force: true })
mkdirSync(FOLDER, { recursive: true })
stopSharing()
if (hasJava()) await shareDynamoDBLocal(process.ppid)

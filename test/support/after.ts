// Runs after all tests: ends the engine that they shared, and sees that no id, token, value, ARN or account was printed by any of them.
import { existsSync, rmSync } from 'node:fs'
import { stopSharing } from './engines.js'
import { FOLDER, readNotes, search } from './silence-search.js'

stopSharing()
if (!existsSync(FOLDER)) throw new Error('Nothing was noted: before.ts did not run')
const notes = readNotes()
rmSync(FOLDER, { recursive: true })
const findings = search(notes)
const size = notes.printed.reduce((sum, { text }) => sum + text.length, 0)
console.error(`# silence: ${notes.secrets.size} secrets, ${notes.printed.length} texts (${Math.ceil(size / 1024)} KB), ${findings.length} found`)
for (const finding of findings.slice(0, 50)) console.error(`#   ${finding}`)
if (findings.length > 0) process.exitCode = 1

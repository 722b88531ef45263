import { runFolder } from './support/folder.js'

await runFolder('user-lists')

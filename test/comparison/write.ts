import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../support/documents.js'
import { comparison, PAGE } from './page.js'

writeFileSync(join(root, PAGE), comparison())

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { COMMANDS } from '../../cli/run.js'
import { command } from '../support/cli.js'
import { blocksIn, read, root, rowsIn } from '../support/documents.js'

const page = read('docs/operations.md')
const sources = readdirSync(join(root, 'lib')).map(file => read(`lib/${file}`)).join('\n').replaceAll("\\'", "'")

t.test('each channel has its row, and each row its channel', async t => {
  const [, operations = ''] = /const OPERATIONS[^=]*= \[(.*)\]/.exec(read('lib/events.ts')) ?? []
  const channels = [...operations.matchAll(/'(\w+)'/g)].map(([, name]) => `\`${name}\``)
  t.same(rowsIn(page, 'channel', 'told when').map(([name]) => name), [...channels, '`gone`', '`conflict`'])
})

t.test('each remark on the page is one that the code makes', async t => {
  const rows = rowsIn(page, 'remark', 'means')
  t.ok(rows.length > 15)
  for (const [remark = ''] of rows) t.ok(sources.includes(`'${remark}`), remark)
})

t.test('each remark of the code is on the page', async t => {
  const remarks = rowsIn(page, 'remark', 'means').map(([remark = '']) => remark)
  const told = [...sources.matchAll(/(?:warn\([^\n]*?|createNotice\([^\n]*?|const [A-Z_]+ = )'([A-Z][^'\n]{30,})/g)].map(([, text = '']) => text)
  t.ok(told.length >= remarks.length, `${told.length} remarks are found`)
  t.same(told.filter(text => !remarks.some(remark => text.startsWith(remark))), [])
})

t.test('each command on the pages is one that the program takes', async t => {
  const lines = [page, read('README.md')].flatMap(document => blocksIn(document, 'sh')).flatMap(block => block.split('\n')).filter(line => line.startsWith('npx fastify-dynamodb-session '))
  t.ok(lines.length >= 8)
  for (const line of lines) {
    const [name = '', ...args] = line.replace('<loggable id>', 'A'.repeat(43)).split(' ').slice(2)
    t.ok(COMMANDS.some(command => command.name === name), line)
    // Help is printed after the arguments were read, so what is wrong with them is found, and nothing is called.
    t.equal((await command([name, ...args, '--help'])).code, 0, line)
  }
})

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { blocksIn, complaintsAbout, EXAMPLES_CONFIG, read, root } from '../support/documents.js'

const DOCUMENTS = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...documentsIn('docs'), ...documentsIn('docs/decisions')]

function documentsIn (folder: string): string[] {
  return readdirSync(join(root, folder)).filter(name => name.endsWith('.md')).map(name => `${folder}/${name}`)
}

/** Inside the tree, so that the examples find their packages. */
const output = join(root, 'test-output', 'documents')

t.test('every example in TypeScript compiles, and by itself', async t => {
  rmSync(output, { recursive: true, force: true })
  mkdirSync(output, { recursive: true })
  t.teardown(() => rmSync(output, { recursive: true, force: true }))
  let examples = 0
  for (const document of DOCUMENTS) {
    for (const code of blocksIn(read(document), 'ts')) writeFileSync(join(output, `${document.replaceAll(/\W/g, '-')}-${++examples}.ts`), code)
  }
  t.ok(examples > 10)
  // One that does not, to see that complaints are heard.
  writeFileSync(join(output, 'bad.ts'), "import { SessionManager } from 'fastify-dynamodb-session'\nnew SessionManager({ tabel: 'sessions' })\n")
  writeFileSync(join(output, 'tsconfig.json'), EXAMPLES_CONFIG)
  const complaints = complaintsAbout(output)
  t.equal(complaints.length, 1, complaints.join('\n'))
  t.match(complaints[0], /^\/bad\.ts: .*'tabel' does not exist/)
})

t.test('links inside the repository lead somewhere', async t => {
  for (const file of DOCUMENTS) {
    for (const [, target = ''] of read(file).matchAll(/\]\(([^)]+)\)/g)) {
      if (/^\w+:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const aim = path === '' ? file : join(dirname(file), path)
      t.ok(existsSync(join(root, aim)), `${file}: ${target}`)
      if (anchor !== undefined) t.ok(anchorsOf(aim).includes(anchor), `${file}: ${target}`)
    }
  }
})

function anchorsOf (file: string): string[] {
  return [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => title.toLowerCase().replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-'))
}

// Compiles each example in TypeScript of the documents, as part of `npm run types`: one that does not compile ends it with what the compiler says.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { blocksOf } from './blocks.js'
import { documentsIn, EXAMPLES_CONFIG, read, root } from './documents.js'

/** Inside the tree, so that the examples find their packages. */
const FOLDER = join(root, 'test-output', 'documents')
/** One that does not compile, to see that complaints are heard. */
const BAD = "import { SessionManager } from 'fastify-dynamodb-session'\nnew SessionManager({ tabel: 'sessions' })\n"

rmSync(FOLDER, { recursive: true, force: true })
mkdirSync(FOLDER, { recursive: true })
const examples = [...documentsIn(''), ...documentsIn('docs', true)].flatMap(document => blocksOf(document, read(document))).filter(({ language }) => language === 'ts')
for (const { document, line, code } of examples) writeFileSync(join(FOLDER, `${document.replaceAll(/\W/g, '-')}-${line}.ts`), code)
writeFileSync(join(FOLDER, 'bad.ts'), BAD)
writeFileSync(join(FOLDER, 'tsconfig.json'), EXAMPLES_CONFIG)
const complaints = complaintsAbout(FOLDER)
rmSync(FOLDER, { recursive: true, force: true })
const unexpected = complaints.filter(complaint => !/^\/bad\.ts: .*'tabel' does not exist/.test(complaint))
for (const complaint of unexpected) console.error(complaint)
if (complaints.length === unexpected.length) console.error('An example that is wrong was not complained of: this checks nothing')
if (unexpected.length > 0 || complaints.length !== 1) process.exitCode = 1
else console.log(`passed: ${examples.length} examples of the documents compile, each by itself`)

/**
 * What the compiler says of the files in a folder. What they import is checked elsewhere. One that names the data of sessions is compiled
 * by itself, and the others without those, because what one of them declares would hold for all.
 */
function complaintsAbout (folder: string): string[] {
  const config = ts.getParsedCommandLineOfConfigFile(join(folder, 'tsconfig.json'), { noEmit: true }, {
    ...ts.sys, onUnRecoverableConfigFileDiagnostic ({ messageText }) { throw new Error(ts.flattenDiagnosticMessageText(messageText, ' ')) }
  })
  const { fileNames = [], options = {} } = config ?? {}
  const declaring = fileNames.filter(file => ts.sys.readFile(file)?.includes('interface SessionData'))
  let program: ts.Program | undefined
  const found = [fileNames.filter(file => !declaring.includes(file)), ...declaring.map(file => [file])].flatMap(files => {
    const next = program = ts.createProgram(files, options, undefined, program)
    const own = next.getSourceFiles().filter(({ fileName }) => fileName.startsWith(folder))
    return [...next.getGlobalDiagnostics(), ...own.flatMap(file => [...next.getSyntacticDiagnostics(file), ...next.getSemanticDiagnostics(file)])]
  })
  return found.map(({ file, messageText }) => `${file?.fileName.slice(folder.length)}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`)
}

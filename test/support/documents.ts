import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

export function read (path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** The fenced blocks of a language in a document. */
export function blocksIn (document: string, language: string): string[] {
  return [...document.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter(([, name]) => name === language).map(([, , code]) => code as string)
}

/** The cells of the rows of a table in a document, whose first headings are these. */
export function rowsIn (document: string, ...headings: string[]): string[][] {
  const lines = document.split('\n')
  const start = lines.findIndex(line => line.startsWith(`| ${headings.join(' | ')} |`))
  if (start === -1) throw new Error(`There is no table that begins with ${headings.join(', ')}`)
  const rows = []
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break
    rows.push(line.slice(1, -1).split(/(?<!\\)\|/).map(cell => cell.trim()))
  }
  return rows
}

/** The configuration of a folder that is two below the root, in which the package's name stands for its source. */
export const EXAMPLES_CONFIG = JSON.stringify({
  extends: '../../tsconfig.json',
  compilerOptions: {
    paths: {
      'fastify-dynamodb-session': ['../../index.ts'],
      'fastify-dynamodb-session/import': ['../../import/index.ts'],
      'fastify-dynamodb-session/store': ['../../store/index.ts'],
      'fastify-dynamodb-session/testing': ['../../testing/index.ts']
    }
  },
  include: ['*.ts']
})

/** What the compiler says of the files in a folder. What they import is checked elsewhere. */
export function complaintsAbout (folder: string): string[] {
  const config = ts.getParsedCommandLineOfConfigFile(join(folder, 'tsconfig.json'), { noEmit: true }, {
    ...ts.sys, onUnRecoverableConfigFileDiagnostic ({ messageText }) { throw new Error(ts.flattenDiagnosticMessageText(messageText, ' ')) }
  })
  const program = ts.createProgram(config?.fileNames ?? [], config?.options ?? {})
  const own = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(folder))
  const found = [...program.getGlobalDiagnostics(), ...own.flatMap(file => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])]
  return found.map(({ file, messageText }) => `${file?.fileName.slice(folder.length)}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`)
}

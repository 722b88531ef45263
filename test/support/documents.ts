import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** The documents in a folder, by their paths from the root. */
export function documentsIn (folder: string, recursive = false): string[] {
  const found = readdirSync(join(root, folder), { recursive, encoding: 'utf8' })
  return found.filter(name => name.endsWith('.md')).map(name => posix.join(folder, name)).sort()
}

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
      'fastify-dynamodb-session/bare': ['../../lib/plugin.ts'],
      'fastify-dynamodb-session/import': ['../../import/index.ts'],
      'fastify-dynamodb-session/store': ['../../store/index.ts'],
      'fastify-dynamodb-session/testing': ['../../testing/index.ts']
    }
  },
  include: ['*.ts']
})

// What the tests of this repository are called, for documents that name them.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { read, root } from './documents.js'

export const ADVISORIES = 'test/advisories.test.ts'

const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' }).map(path => `test/${path}`).sort((a, b) => b.split('/').length - a.split('/').length)

/** The path of a test file by its name, wherever it stands. */
export function testFile (name: string): string {
  return files.find(path => path.endsWith(`/${name}.test.ts`)) ?? `test/${name}.test.ts`
}

const titles = new Map<string, Set<string>>()

/**
 * The titles of the tests in a file that stand there as they are, also as the `title` of a row. Of those that are put together at run
 * time, only the advisories' are known: they stand as members of what `test/advisories/` lists.
 */
export function titlesOf (file: string): Set<string> {
  const known = titles.get(file)
  if (known !== undefined) return known
  const parts = file === ADVISORIES ? readdirSync(join(root, 'test/advisories')).map(part => `test/advisories/${part}`) : []
  const found = new Set<string>()
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression) && node.expression.name.text === 'test') {
      const [title] = node.arguments
      if (title !== undefined && ts.isStringLiteralLike(title)) found.add(title.text)
    }
    if (ts.isObjectLiteralExpression(node)) {
      const [advisory, promise] = [textOf(node, 'advisory'), textOf(node, 'promise')]
      if (advisory !== undefined && promise !== undefined) found.add(`${advisory}: ${promise}`)
      const title = textOf(node, 'title')
      if (title !== undefined) found.add(title)
    }
    ts.forEachChild(node, visit)
  }
  for (const path of [file, ...parts]) {
    if (existsSync(join(root, path))) visit(ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true))
  }
  titles.set(file, found)
  return found
}

/** The text of a member of an object literal. */
function textOf ({ properties }: ts.ObjectLiteralExpression, name: string): string | undefined {
  const member = properties.filter(ts.isPropertyAssignment).find(property => property.name.getText() === name)?.initializer
  return member !== undefined && ts.isStringLiteralLike(member) ? member.text : undefined
}

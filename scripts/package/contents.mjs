// What the tarball holds: code with maps, declarations with their documentation, documents whose links lead somewhere.
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { assert, node } from './steps.mjs'
import { manifest, root } from './tarball.mjs'

/** A quarter above what it takes now, in bytes. Who comes here because of growth looks first for what does not belong there. */
const MOST_PACKED = 750_000
const MOST_UNPACKED = 2_750_000

/** What documents may be off by. */
const OFF = 0.07

const WANTED = [
  'LICENSE', 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'package.json', 'bench/results.md',
  ...['cli/main', 'index', 'import/index', 'lib/plugin', 'store/index', 'testing/index'].flatMap(entry => [`dist/${entry}.js`, `dist/${entry}.js.map`])
]
const BUILT = /^dist\/(shared\/\w+\.js(\.map)?|((cli|import|lib|store|testing|types)\/)?[\w-]+\.d\.ts)$/
const DOCUMENT = /^(examples\/[\w-]+\.ts|docs\/[\w-]+\.(md|json)|docs\/decisions\/\d{4}-[\w-]+\.md)$/
/** What is linked for those who have the repository: sources, tests and pictures. */
const IN_REPOSITORY = /^(\.ci|test|lib|types|bench|demo|scripts)\/|\.(png|svg)$/

export class Contents {
  constructor (packed, installed) {
    this.packed = packed
    this.folder = join(installed, 'node_modules', manifest.name)
    this.installed = installed
    this.files = readdirSync(this.folder, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name).slice(this.folder.length + 1).replaceAll('\\', '/'))
  }

  read (file) {
    return readFileSync(join(this.folder, file), 'utf8')
  }

  checkFiles () {
    const missing = WANTED.filter(file => !this.files.includes(file))
    const strange = this.files.filter(file => !WANTED.includes(file) && !BUILT.test(file) && !DOCUMENT.test(file))
    assert(missing.length === 0, `missing: ${missing.join(', ')}`)
    assert(strange.length === 0, `not meant for the package: ${strange.join(', ')}`)
  }

  checkSize () {
    const { size, unpackedSize, files } = this.packed
    assert(size <= MOST_PACKED && unpackedSize <= MOST_UNPACKED, `it has grown to ${size} bytes, unpacked ${unpackedSize}`)
    for (const file of ['README.md', 'docs/recipes.md']) {
      const [, packed, unpacked] = /(\d+) kB packed(?:,| and) ([\d.]+) MB unpacked/.exec(plain(this.read(file))) ?? []
      const isTrue = Math.abs(packed * 1000 / size - 1) < OFF && Math.abs(unpacked * 1e6 / unpackedSize - 1) < OFF
      assert(isTrue, `${file} says ${packed} kB packed and ${unpacked} MB unpacked, and it is ${size} and ${unpackedSize} bytes`)
    }
    return `${Math.round(size / 1000)} kB, unpacked ${(unpackedSize / 1e6).toFixed(1)} MB, ${files.length} files`
  }

  /** The sources that maps hold are those of the repository. Several files may hold a part of one. */
  checkMaps () {
    const held = new Set()
    for (const file of this.files.filter(name => name.endsWith('.js'))) {
      const [, name] = /\/\/# sourceMappingURL=([\w.-]+)\s*$/.exec(this.read(file)) ?? []
      assert(name !== undefined, `${file} names no map`)
      const { sources, sourcesContent = [] } = JSON.parse(this.read(posix.join(posix.dirname(file), name)))
      for (const [index, path] of sources.entries()) {
        const source = posix.join(posix.dirname(file), path)
        assert(sourcesContent[index] === readFileSync(join(root, source), 'utf8'), `the map of ${file} does not hold ${source}`)
        held.add(source)
      }
    }
    assert(held.size > 100, `maps hold ${held.size} sources only`)
    return `${held.size} sources`
  }

  async checkTrace () {
    const code = `import { SessionManager } from '${manifest.name}'\ntry { new SessionManager({ tabel: '' }) } catch ({ stack }) { console.log(stack) }`
    const { stdout } = await node(['--no-warnings', '--enable-source-maps', '--input-type=module', '--eval', code], { cwd: this.installed })
    const [, file, line] = /\n {4}at \S+ \(?(?:file:\/\/)?.*[\\/]node_modules[\\/][\w-]+[\\/](.*\.ts):(\d+):\d+\)?/.exec(stdout) ?? []
    assert(file !== undefined, `no line of TypeScript in\n${stdout}`)
    const text = readFileSync(join(root, file), 'utf8').split('\n')[line - 1]
    assert(text.includes('throw new errors.UnknownOption('), `${file}:${line} throws nothing: ${text}`)
    return `${file}:${line}`
  }

  /** Everything that is written on the public types reaches the editor, and nothing of what is marked as internal. */
  checkDeclarations () {
    const declarations = this.files.filter(file => file.endsWith('.d.ts'))
    for (const file of declarations) assert(!/@internal/.test(this.read(file)), `${file} declares something internal`)
    let comments = 0
    for (const room of ['index', ...readdirSync(join(root, 'types')).map(file => `types/${file.slice(0, -3)}`)]) {
      const declared = plain(this.read(`dist/${room}.d.ts`))
      for (const [comment] of readFileSync(join(root, `${room}.ts`), 'utf8').matchAll(/\/\*\*[^]*?\*\//g)) {
        assert(declared.includes(plain(comment)), `dist/${room}.d.ts lacks ${comment}`)
        comments++
      }
    }
    assert(comments > 100, `only ${comments} comments were looked for`)
    return `${comments} comments`
  }

  checkLinks () {
    for (const file of this.files.filter(name => name.endsWith('.md'))) {
      for (const [, target] of this.read(file).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (/^\w+:/.test(target)) continue
        const aim = posix.join(posix.dirname(file), target)
        const isThere = this.files.some(name => name === aim || name.startsWith(`${aim}/`))
        assert(isThere || IN_REPOSITORY.test(aim), `${file} links to ${target}, which is not packed`)
      }
    }
  }

  checks () {
    return {
      'the package holds the code, its types and its documents, and nothing else': () => { this.checkFiles() },
      'it is not larger than it should be': () => this.checkSize(),
      'every file of code has a map, which holds its sources': () => this.checkMaps(),
      'a stack trace with --enable-source-maps names the line of TypeScript': async () => await this.checkTrace(),
      'the declarations have the documentation of the public types, and nothing internal': () => this.checkDeclarations(),
      'links in its documents lead to what is packed': () => { this.checkLinks() }
    }
  }
}

function plain (text) {
  return text.replaceAll(/\s*\n\s*\*?/g, ' ').replaceAll(/\s+/g, ' ')
}

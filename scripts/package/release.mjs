// Release notes are cut from the changelog, and no version is made that it does not describe.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert, node, npm, run } from './steps.mjs'
import { manifest, root } from './tarball.mjs'

const PROGRAM = 'scripts/release-notes.mjs'

const CHANGELOG = `# Changelog

## Unreleased

## 0.2.0 - 2026-02-28

### Added

- A flag. Whoever waves it: do so.

### Fixed

- A hole. Nothing to do.

## 0.1.0 - 2026-01-31

### Added

- Everything.
`

const NOTES = '### Added\n\n- A flag. Whoever waves it: do so.\n\n### Fixed\n\n- A hole. Nothing to do.\n'

/** Changes to that changelog, and what is said about them. */
const REFUSED = [
  [text => text.replace('0.2.0', '0.3.0'), 'CHANGELOG.md says nothing of 0.2.0'],
  [text => text.replace(' - 2026-02-28', ''), 'has no date for 0.2.0'],
  [text => text.replace('2026-02-28', 'soon'), 'has no date for 0.2.0'],
  [text => text.replace('2026-02-28', '2026-02-30'), 'has no date for 0.2.0'],
  [text => text.replace('0.1.0', '0.2.0'), 'has 0.2.0 twice'],
  [text => text.replace('## Unreleased\n', '## Unreleased\n\n### Added\n\n- More.\n'), 'has entries under "## Unreleased"'],
  [text => text.replace('## Unreleased\n', '## 0.9.0 - 2026-02-01\n'), 'the newest stands first'],
  [text => text.replace('### Fixed', '### Mended'), 'has "### Mended" in 0.2.0'],
  [text => text.replace('- A hole. Nothing to do.\n', ''), 'has nothing under "### Fixed"'],
  [text => text.replaceAll(/^### (Added|Fixed)\n/gm, ''), 'has no section such as "### Added"']
]

class Release {
  constructor (folder) {
    this.folder = folder
    mkdirSync(join(this.folder, 'scripts'), { recursive: true })
    copyFileSync(join(root, PROGRAM), join(this.folder, PROGRAM))
  }

  write (changelog, { version = '0.2.0', locked = version, ...parts } = {}) {
    const { name, scripts, publishConfig } = manifest
    const own = { version: scripts.version, prepublishOnly: scripts.prepublishOnly }
    for (const [file, content] of Object.entries({
      'package.json': JSON.stringify({ name, version, scripts: own, publishConfig, ...parts }),
      'package-lock.json': JSON.stringify({ name, version: locked, lockfileVersion: 3, packages: { '': { name, version: locked } } }),
      'CHANGELOG.md': changelog
    })) writeFileSync(join(this.folder, file), content)
  }

  async notes (...args) {
    return (await node([PROGRAM, ...args], { cwd: this.folder })).stdout
  }

  async assertRefused (wanted, ...args) {
    const { stdout, stderr } = await node([PROGRAM, ...args], { cwd: this.folder, code: 1 })
    assert(stdout === '' && stderr.includes(wanted), `"${wanted}" was expected: ${stdout}${stderr}`)
  }

  async checkNotes () {
    this.write(CHANGELOG)
    assert(await this.notes('0.2.0') === NOTES && await this.notes() === NOTES, 'the notes are others')
    this.write(CHANGELOG.replaceAll('\n', '\r\n'))
    assert(await this.notes() === NOTES, 'the notes are others where lines end as on Windows')
    this.write(CHANGELOG.replaceAll('0.2.0', '1.0.0-beta.1'), { version: '1.0.0-beta.1' })
    assert(await this.notes() === NOTES, 'the notes of a version before a release are others')
    this.write(CHANGELOG)
    await this.assertRefused('package.json is of version 0.2.0, not 0.1.0', '0.1.0')
    for (const [change, complaint] of REFUSED) {
      this.write(change(CHANGELOG))
      await this.assertRefused(complaint)
    }
    this.write(CHANGELOG, { locked: '0.1.0' })
    await this.assertRefused('package-lock.json is of version 0.1.0, not 0.2.0')
    this.write(CHANGELOG)
    await this.assertRefused('package.json names no repository', '--publish')
    this.write(CHANGELOG, { repository: { type: 'git', url: 'git+https://git.example/shop.git' } })
    assert(await this.notes('--publish') === NOTES, 'publishing is refused')
    await node([PROGRAM, 'Unreleased'], { cwd: root })
  }

  /** In a repository of its own. */
  async checkVersion () {
    const git = async (...args) => (await run('git', ['-c', 'user.name=n', '-c', 'user.email=n@example.org', ...args], { cwd: this.folder })).stdout
    const env = { GIT_AUTHOR_NAME: 'n', GIT_AUTHOR_EMAIL: 'n@example.org', GIT_COMMITTER_NAME: 'n', GIT_COMMITTER_EMAIL: 'n@example.org' }
    await git('init', '--quiet')
    this.write(CHANGELOG.replace('0.2.0', '0.3.0'), { version: '0.1.0' })
    await git('add', '--all')
    await git('commit', '--quiet', '--message', 'first')
    await npm(['version', '0.2.0'], { cwd: this.folder, env, code: 1 })
    assert(await git('tag') === '' && (await git('log', '--format=%s')) === 'first\n', 'a version was made that the changelog does not know')
    this.write(CHANGELOG, { version: '0.1.0' })
    await git('commit', '--all', '--quiet', '--message', 'second')
    await npm(['version', '0.2.0'], { cwd: this.folder, env })
    assert(await git('tag') === 'v0.2.0\n', 'the version has no tag')
  }
}

/** In a folder for each, since two checks run at a time. */
export function checksOfRelease (folder) {
  return {
    'release notes are cut from the changelog, and refused where something disagrees': async () => { await new Release(join(folder, 'notes')).checkNotes() },
    'npm makes no version that the changelog does not describe': async () => { await new Release(join(folder, 'version')).checkVersion() }
  }
}

// Prints what the changelog says of a version, for the page of its release: `node scripts/release-notes.mjs 1.2.3`. It refuses
// where version, changelog, package.json and package-lock.json disagree. Without a version it is that of package.json, as npm
// runs it while it makes one; `Unreleased` prints what is to come. With `--publish` it also asks for what npm needs to attest
// where a package was built.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a section may be titled, as keepachangelog.com has them. */
const KINDS = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security']

const UNRELEASED = 'Unreleased'

const HEADING = /^## \[?([^\]\s]+)\]?(?: - (.*))?$/

/** Sections of versions, newest first. */
function versionsOf (changelog) {
  const [, ...sections] = changelog.split(/^(?=## )/m)
  return sections.map(section => {
    const [heading, ...lines] = section.trimEnd().split('\n')
    const [, version, date] = HEADING.exec(heading) ?? []
    return { heading, version, date, text: lines.join('\n').trim() }
  })
}

function * complaintsAbout (version, sections, manifest, lock) {
  if (manifest.version !== version) yield `package.json is of version ${manifest.version}, not ${version}.`
  if (lock.version !== version || lock.packages[''].version !== version) yield `package-lock.json is of version ${lock.version}, not ${version}.`
  const section = sections.find(candidate => candidate.version === version)
  if (section === undefined) {
    yield `CHANGELOG.md says nothing of ${version}: name it "## ${version} - year-month-day" what stands under "## ${UNRELEASED}".`
    return
  }
  if (!isDate(section.date)) yield `CHANGELOG.md has no date for ${version}: write "## ${version} - year-month-day".`
  if (sections.some(other => other !== section && other.version === version)) yield `CHANGELOG.md has ${version} twice: make one section of them.`
  const newest = sections.find(candidate => candidate.version !== UNRELEASED)
  if (newest !== section) yield `CHANGELOG.md has "${newest.heading}" above ${version}: the newest stands first.`
  const unreleased = sections.find(candidate => candidate.version === UNRELEASED)
  if (unreleased !== undefined && unreleased.text !== '') yield `CHANGELOG.md has entries under "${unreleased.heading}": they belong to ${version}, or to no release.`
  yield * complaintsAboutForm(section)
}

function * complaintsAboutForm ({ version, text }) {
  const parts = text.split(/^(?=### )/m)
  for (const part of parts) {
    const [, kind] = /^### (.*)/.exec(part) ?? []
    if (kind !== undefined && !KINDS.includes(kind)) yield `CHANGELOG.md has "### ${kind}" in ${version}; known are ${KINDS.join(', ')}.`
    if (kind !== undefined && !/^- /m.test(part)) yield `CHANGELOG.md has nothing under "### ${kind}" in ${version}.`
  }
  if (!parts.some(part => part.startsWith('### '))) yield `CHANGELOG.md has no section such as "### Added" in ${version}.`
}

/** A day of the calendar: 30 February is read as 2 March. */
function isDate (text) {
  const day = new Date(/^\d{4}-\d\d-\d\d$/.test(text ?? '') ? text : Number.NaN)
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text)
}

/** npm refuses a provenance when package.json does not name the repository that the build ran in, and says so after the upload. */
function * complaintsAboutPublishing ({ repository, publishConfig }) {
  if (publishConfig?.provenance === true && repository?.url === undefined) {
    yield 'package.json names no repository, with which npm compares where the package was built: set "repository" first.'
  }
}

/** With the ends of lines that git writes on Windows too. */
function read (file) {
  return readFileSync(join(process.cwd(), file), 'utf8').replaceAll('\r\n', '\n')
}

const manifest = JSON.parse(read('package.json'))
const isPublishing = process.argv.includes('--publish')
const version = process.argv.slice(2).find(argument => !argument.startsWith('--')) ?? manifest.version
const sections = versionsOf(read('CHANGELOG.md'))
const asked = sections.find(section => section.version === version)
const complaints = [
  ...version === UNRELEASED && asked !== undefined
    ? complaintsAboutForm(asked)
    : complaintsAbout(version, sections, manifest, JSON.parse(read('package-lock.json'))),
  ...isPublishing ? complaintsAboutPublishing(manifest) : []
]
for (const complaint of complaints) console.error(complaint)
if (complaints.length > 0) process.exitCode = 1
else console.log(asked.text)

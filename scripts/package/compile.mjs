// Compiles folders as their tsconfig.json says, without and with exactOptionalPropertyTypes: it decides what an absent option may
// be, and declarations have to be right for both. In one process, since the compiler is slow until it is warm.
import { join } from 'node:path'
import ts from 'typescript'

const HOST = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: complaint => { throw new Error(String(complaint.messageText)) } }

for (const folder of process.argv.slice(2)) {
  const { options, fileNames, errors } = ts.getParsedCommandLineOfConfigFile(join(folder, 'tsconfig.json'), {}, HOST)
  let oldProgram
  for (const exactOptionalPropertyTypes of [false, true]) {
    // The second takes the parsed files of the first.
    const program = ts.createProgram({
      rootNames: fileNames, options: { ...options, exactOptionalPropertyTypes }, oldProgram, configFileParsingDiagnostics: errors
    })
    const complaints = ts.getPreEmitDiagnostics(program)
    if (complaints.length > 0) {
      console.error(ts.formatDiagnostics(complaints, { getCanonicalFileName: name => name, getCurrentDirectory: () => folder, getNewLine: () => '\n' }))
      process.exitCode = 1
    } else if (oldProgram === undefined) program.emit()
    oldProgram = program
  }
}

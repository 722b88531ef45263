import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['dist/**', 'reference/**', '.tap/**', 'test-output/**', 'node_modules/**'] }),
  {
    files: ['index.ts', 'lib/**/*.ts', 'types/**/*.ts', 'import/**/*.ts', 'store/**/*.ts', 'testing/**/*.ts', 'cli/**/*.ts', 'demo/**/*.ts', 'bench/**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      complexity: ['error', 12],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }]
    }
  }
]

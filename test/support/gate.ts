/** Something that ends when the test says so. */
export function makeGate (): { readonly passed: Promise<void>, open (): void } {
  let open = (): void => {}
  const passed = new Promise<void>(resolve => { open = resolve })
  return { passed, open: () => { open() } }
}

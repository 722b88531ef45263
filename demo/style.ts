import { createHash } from 'node:crypto'

/** Colour never carries meaning alone here; every contrast is at least 4.5 to 1, in the light and in the dark. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f5f6f8; --card: #fff; --ink: #1c2430; --quiet: #566174; --edge: #d9dee6; --accent: #1d4ed8; --on-accent: #fff; --alert: #9f1239;
}
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161d; --card: #1b212b; --ink: #e8ecf2; --quiet: #a3aebf; --edge: #343d4b; --accent: #8ab4ff; --on-accent: #10203f; --alert: #fda4af; }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 3rem; max-width: 80rem;
  background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
  display: grid; gap: 1.25rem 2rem; align-items: start; overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 1.6rem; line-height: 1.2; letter-spacing: -.01em; }
h2 { margin: 0 0 .75rem; font-size: 1.05rem; line-height: 1.3; }
p { margin: 0; }
header p, .hint, .panel span, dt { color: var(--quiet); }
main { display: grid; gap: 1rem; }
.card, .panel { padding: 1.1rem 1.25rem; background: var(--card); border: 1px solid var(--edge); border-radius: .75rem; min-width: 0; }
.card { scroll-margin-top: 1rem; }
.remark { padding: .75rem 1.25rem; border: 2px solid var(--alert); border-radius: .75rem; background: var(--card); font-weight: 600; }
.hint { margin-top: .75rem; font-size: .875rem; }
.line, .items form { display: flex; flex-wrap: wrap; gap: .5rem .6rem; align-items: center; }
.line { align-items: end; }
.field { display: grid; flex: 1 1 9rem; gap: .2rem; min-width: 0; }
.field.short { flex: 0 0 5.5rem; }
label { font-size: .9rem; font-weight: 600; }
input { width: 100%; min-width: 0; min-height: 2.75rem; padding: .4rem .7rem; font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--quiet); border-radius: .5rem; }
button { min-width: 2.75rem; min-height: 2.75rem; padding: .4rem 1.1rem; font: inherit; font-weight: 600; color: var(--on-accent); background: var(--accent); border: 1px solid var(--accent); border-radius: .5rem; cursor: pointer; }
.items button { padding: .4rem; color: var(--accent); background: transparent; }
button:hover { filter: brightness(1.12); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
a { color: var(--accent); }
.count { min-width: 2ch; margin-right: .6rem; font-size: 2.25rem; line-height: 2.75rem; font-weight: 700; font-variant-numeric: tabular-nums; }
ul, ol { margin: 0; padding: 0; list-style: none; }
.items, .empty { margin-bottom: 1rem; }
.items li { padding: .4rem 0; border-bottom: 1px solid var(--edge); }
.item { flex: 1; }
.quantity { min-width: 3ch; text-align: right; font-weight: 700; font-variant-numeric: tabular-nums; }
dl { margin: 0; display: grid; gap: .6rem; }
dt { font-size: .875rem; }
dd { margin: 0; }
code { font: .875rem/1.4 ui-monospace, monospace; word-break: break-all; }
.panel > ol > li { padding: .65rem 0; border-top: 1px solid var(--edge); }
.request { display: flex; flex-wrap: wrap; gap: 0 .75rem; align-items: baseline; }
.request .sum { margin-left: auto; color: var(--ink); }
.panel .hint { margin-top: .35rem; padding-top: .75rem; border-top: 1px solid var(--edge); }
.panel ul { margin-top: .3rem; font-size: .8rem; }
.panel ul li { display: flex; flex-wrap: wrap; gap: 0 .5rem; padding: .15rem 0 .15rem .6rem; border-left: 3px solid var(--accent); font-variant-numeric: tabular-nums; }
@media (max-width: 33.99rem) {
  .panel ul li { display: grid; grid-template-columns: auto 1fr auto; }
  .panel ul li :nth-child(3) { grid-area: 2 / 1 / 3 / 3; }
  .panel ul li :nth-child(4) { grid-area: 2 / 3; text-align: right; }
  .panel ul li :nth-child(5) { grid-area: 1 / 3; text-align: right; }
}
@media (min-width: 34rem) {
  .panel ul li :nth-child(5) { margin-left: auto; }
  main { grid-template-columns: 1fr 1fr; }
  .wide, .remark { grid-column: 1 / -1; }
}
@media (min-width: 64rem) {
  body { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  header { grid-column: 1 / -1; }
}
`

/** Changes with the style, so that a browser may keep it for good. */
export const STYLE_URL = `/style-${createHash('sha256').update(STYLE).digest('hex').slice(0, 8)}.css`

// What is compared of an answer: its status, its error's name, its media type, and which keys and kinds of values it has.

const KINDS = [
  ['cid', /^baf[yk][a-z2-7]{50,}$/],
  ['did:key', /^did:key:z\w+$/],
  ['did', /^did:(plc|web):[\w.:%-]+$/],
  ['at-uri', /^at:\/\//],
  ['datetime', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/],
  ['datetime of another form', /^\d{4}-\d\d-\d\dT/],
  ['token', /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/],
  ['tid', /^[2-7a-j][2-7a-z]{12}$/],
  ['handle', /^[\w-]+\.test$/],
  ['url', /^https?:\/\//],
  ['empty string', /^$/],
]

/** The paths of a JSON value, each with the kind of what is there. */
export function shape(value, path = '', into = new Map()) {
  if (Array.isArray(value)) {
    into.set(path || '.', value.length ? 'array' : 'empty array')
    for (const item of value) shape(item, `${path}[]`, into)
  } else if (value !== null && typeof value === 'object') {
    into.set(path || '.', 'object')
    for (const [key, item] of Object.entries(value)) shape(item, `${path}.${key}`, into)
  } else {
    const kind = typeof value === 'string' ? KINDS.find(([, form]) => form.test(value))?.[0] ?? 'string' : value === null ? 'null' : typeof value
    const known = into.get(path || '.')
    into.set(path || '.', known && known !== kind ? 'mixed' : kind)
  }
  return into
}

/** An answer in a few words. */
const word = ({ status, error }) => (error ? `${status} ${error}` : `${status}`)

/** Where two answers to one call differ: what, ours, the reference's. */
export function differences(ours, reference) {
  if (!ours || !reference) return [['asked', ours ? 'yes' : 'no', reference ? 'yes' : 'no']]
  if (word(ours) !== word(reference)) return [['answer', word(ours), word(reference)]]
  const found = []
  const compare = (what, a, b) => { if (a !== b) found.push([what, a ?? 'absent', b ?? 'absent']) }
  for (const name of new Set([...Object.keys(ours.headers), ...Object.keys(reference.headers)])) {
    compare(name, ours.headers[name], reference.headers[name])
  }
  const [a, b] = [shape(ours.json), shape(reference.json)]
  // What is in an array or an object that the other does not have at all is told by that one line.
  const told = new Set()
  for (const path of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    const parent = [...told].some((prefix) => path.startsWith(`${prefix}.`) || path.startsWith(`${prefix}[`))
    if (parent) continue
    if (a.get(path) !== b.get(path)) told.add(path)
    compare(path, a.get(path), b.get(path))
  }
  return found
}

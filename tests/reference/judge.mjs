// Which of the differences found are known, and which of the known are found no more.

/** `*` stands for anything. */
const pattern = (text) => new RegExp(`^${text.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`)

/** A listed one as many as it names calls: `of` names them, `what`, `ours` and `reference` what is seen, a text or several. */
function known(listed) {
  return [listed.of].flat().map((of) => {
    const fields = Object.entries({ ...listed, of }).filter(([field]) => field !== 'because')
    const tests = fields.map(([field, texts]) => [field, [texts].flat().map(pattern)])
    const matches = (found) => tests.every(([field, patterns]) => patterns.some((one) => one.test(found[field])))
    return { of, because: listed.because, matches, times: 0 }
  })
}

/** Prints what differs; whether that is a failure. */
export function judge(found, listed, calls, all) {
  const wanted = listed.flatMap(known)
  const line = ({ of, what, ours, reference }) => `  ${of} | ${what} | ours: ${ours} | reference: ${reference}`
  const unlisted = []
  for (const one of found) {
    const first = wanted.find(({ matches }) => matches(one))
    if (first) first.times++
    else unlisted.push(one)
    if (first && all) console.log(`known ${line(one)}`)
  }
  const gone = wanted.filter(({ times }) => times === 0)
  const reasonless = wanted.filter(({ because }) => !because)
  if (unlisted.length) console.log(`Differences that differences.json does not list:\n${unlisted.map(line).join('\n')}`)
  if (gone.length) console.log(`Listed in differences.json, and no longer so:\n${gone.map(({ of, because }) => `  ${of}: ${because}`).join('\n')}`)
  if (reasonless.length) console.log(`Listed without a reason:\n${reasonless.map(({ of }) => `  ${of}`).join('\n')}`)
  console.log(`${calls} calls to both servers: ${found.length} differences, ${unlisted.length} of them not listed; ${gone.length} listed ones are gone`)
  return unlisted.length + gone.length + reasonless.length > 0
}

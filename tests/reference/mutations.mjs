// Bad inputs, made from what a method's lexicon says of it: each differs from a good one in one thing.

import { nobody, noCid } from './world.mjs'

/** A value of the right kind and the wrong form; where a form is checked at all. */
const BAD_FORMS = {
  did: 'not a did',
  handle: 'no_handle',
  'at-identifier': 'no identifier',
  nsid: 'no nsid',
  cid: 'no cid',
  'at-uri': 'no uri',
  'record-key': 'no/key',
  datetime: 'yesterday',
  tid: 'no tid',
  uri: 'no uri',
}

/** One that is right and of nobody. */
const UNKNOWN = {
  did: nobody,
  handle: 'nobody-here.test',
  'at-identifier': nobody,
  cid: noCid,
  'record-key': '3jzfcijpj2z2z',
  nsid: 'com.example.unknown',
  'at-uri': `at://${nobody}/app.bsky.feed.post/3jzfcijpj2z2z`,
}

/** A schema without what makes it optional. */
function bare(schema) {
  let inner = schema
  let isOptional = false
  while (inner.validator && inner.type !== 'array') {
    isOptional ||= inner.type === 'optional'
    inner = inner.validator
  }
  return { inner, isOptional }
}

/** A value of another type than the schema's; in a query all are text. */
function wrongType(schema, isQuery) {
  if (schema.type === 'string') return isQuery ? undefined : 7
  if (schema.type === 'integer') return isQuery ? 'many' : 'seven'
  if (schema.type === 'boolean') return isQuery ? 'perhaps' : 'yes'
  if (schema.type === 'array') return isQuery ? undefined : 'none'
  return isQuery ? undefined : 7
}

/** Each bad input with its name: [name, input]. `make` gives a good one. */
export function* badInputs(shape, make, isQuery) {
  for (const [name, schema] of Object.entries(shape)) {
    const { inner, isOptional } = bare(schema)
    const change = (value) => ({ ...make(), [name]: value })
    if (!isOptional) {
      const { [name]: _, ...rest } = make()
      yield [`${name} is missing`, rest]
      if (isQuery) yield [`${name} is empty`, change('')]
    }
    const other = wrongType(inner, isQuery)
    if (other !== undefined) yield [`${name} is of another type`, change(other)]
    if (!isQuery) yield [`${name} is null`, change(null)]
    const item = inner.type === 'array' ? bare(inner.validator).inner : undefined
    const { format, minimum, maximum } = inner.options ?? {}
    const form = format ?? item?.options?.format
    const wrap = (value) => (item ? [value] : value)
    if (BAD_FORMS[form]) yield [`${name} is no ${form}`, change(wrap(BAD_FORMS[form]))]
    if (UNKNOWN[form]) yield [`${name} is unknown`, change(wrap(UNKNOWN[form]))]
    if (minimum !== undefined) yield [`${name} is too small`, change(minimum - 1)]
    if (maximum !== undefined) yield [`${name} is too large`, change(maximum + 1)]
    if (name === 'cursor') yield [`${name} is none of ours`, change('no cursor')]
    if (isQuery && !item && name in make()) yield [`${name} is given twice`, change([make()[name], make()[name]])]
  }
}

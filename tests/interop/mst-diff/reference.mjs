// The reference's tree, driven by JSON lines on stdin; one JSON line back for each.
//
//   {"set": key, "cid": cid}   -> {"root"}          create or update
//   {"remove": key}            -> {"root"}
//   {"reset": true}            -> {"root"}          back to the empty tree
//   {"prove": [key...]}        -> {"cids"}          covering proof, sorted
//   {"car": base64}            -> {"root", "cids"}  as readCarWithRoot has them

import { createInterface } from 'node:readline'
import { parseCid } from '@atproto/lex-data'
import { MST, MemoryBlockstore, readCarWithRoot } from '@atproto/repo'

const storage = new MemoryBlockstore()
let tree = await MST.create(storage)

const sorted = (map) => map.cids().map(String).sort()

async function answer(line) {
  if (line.reset) {
    tree = await MST.create(storage)
  } else if (line.set) {
    const cid = parseCid(line.cid)
    const known = await tree.get(line.set)
    tree = known ? await tree.update(line.set, cid) : await tree.add(line.set, cid)
  } else if (line.remove) {
    tree = await tree.delete(line.remove)
  } else if (line.prove) {
    const proofs = await Promise.all(line.prove.map((key) => tree.getCoveringProof(key)))
    const [first, ...rest] = proofs
    for (const proof of rest) first.addMap(proof)
    return { cids: sorted(first) }
  } else if (line.car) {
    const { root, blocks } = await readCarWithRoot(Buffer.from(line.car, 'base64'))
    return { root: String(root), cids: sorted(blocks) }
  }
  return { root: String(await tree.getPointer()) }
}

for await (const text of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(text))) + '\n')
}

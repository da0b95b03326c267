// The reference tus server of npm on one directory and a free port of loopback: node tus_server.mjs PACKAGES DIRECTORY
import { pathToFileURL } from 'node:url'

const [packages, directory] = process.argv.slice(2)
const of = async (name) => import(pathToFileURL(`${packages}/node_modules/@tus/${name}/dist/index.js`))
const { Server } = await of('server')
const { FileStore } = await of('file-store')
const server = new Server({ path: '/files', relativeLocation: true, datastore: new FileStore({ directory }) })
const listening = server.listen({ host: '127.0.0.1', port: 0 }, () => {
  process.stdout.write(`${listening.address().port}\n`)
})

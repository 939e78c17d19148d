export { errorAnswer, goneSignal, serve } from './main.js';
export { Service } from './service.js';
/** @typedef {import('./service.js').Answer} Answer */
/** @typedef {import('./service.js').Incoming} Incoming */

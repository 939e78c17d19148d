import { serve } from '@microsim/common';
import { createApp } from './app.js';

await serve(async (service) => {
  const app = createApp(service);
  await app.ready();
  return app.server;
});

/* Loads caption plugins and registers them with MotionText, each call under its own seeded randomness. */
import { registerExternalPlugin } from '/node_modules/motiontext-renderer/dist/index.js';
import { loadForeignPlugins } from '/foreign.js';
import { RandomStream } from '/random.js';

const streams = new WeakMap();

/** The random stream of `plugin` on the node that holds `element`; it lives as long as the node's DOM. */
function streamOf(element, plugin) {
  // Ids of nodes are unique in a prepared scenario.
  const node = element.closest('[data-node-id]');
  let byPlugin = streams.get(node);
  if (!byPlugin) streams.set(node, (byPlugin = new Map()));
  let stream = byPlugin.get(plugin);
  if (!stream) byPlugin.set(plugin, (stream = new RandomStream(`${node.dataset.nodeId}/${plugin}`)));
  return stream;
}

/** Wrap what animate() returns: gsap draws random values at a tween's first render, so seeks need the stream too. */
function seeded(applier, stream) {
  if (typeof applier === 'function') return (progress) => stream.during(() => applier(progress));
  if (!applier || typeof applier.progress !== 'function') return applier;
  return {
    progress: (value) => stream.during(() => applier.progress(value)),
    pause: (...args) => applier.pause?.(...args),
    kill: () => applier.kill?.(),
  };
}

function wrap(name, module) {
  const wrapped = { manifest: module.manifest };
  if (module.init) {
    wrapped.init = (element, ...rest) => {
      const stream = streamOf(element, name);
      stream.restart();
      return stream.during(() => module.init(element, ...rest));
    };
  }
  if (module.animate) {
    wrapped.animate = (element, ...rest) => {
      const stream = streamOf(element, name);
      if (!module.init) stream.restart();
      return seeded(stream.during(() => module.animate(element, ...rest)), stream);
    };
  }
  if (module.evalChannels) {
    // Channels are a pure function of progress and get no element: every call starts the same stream.
    wrapped.evalChannels = (...args) => new RandomStream(name).during(() => module.evalChannels(...args));
  }
  if (module.cleanup) wrapped.cleanup = module.cleanup;
  return wrapped;
}

/**
 * Import our plugins of the given names, and those of an origin (see PluginModule.page_config), and make them known to
 * MotionText; "fadein#2" is fadein under a second name.
 */
export async function loadPlugins(names, foreign = []) {
  await loadForeignPlugins(foreign, registerExternalPlugin);
  await Promise.all(
    names.map(async (name) => {
      const baseUrl = new URL(`/plugins/${name.split('#')[0]}.mjs`, location.href).href;
      const module = await import(baseUrl);
      registerExternalPlugin({ name, version: module.manifest.version, module: wrap(name, module), baseUrl, manifest: module.manifest });
    }),
  );
}

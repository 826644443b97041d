// A moving picture behind the text.
export function init(root, params, context) {
  const picture = document.createElement('img');
  picture.src = context.assets.getUrl('assets/flame.gif');
  Object.assign(picture.style, { position: 'absolute', inset: '0', width: '100%', height: '100%', objectFit: 'cover', zIndex: '-1' });
  root.append(picture);
}

export function animate(root, params, context) {
  const timeline = context.gsap.timeline({ paused: true });
  timeline.fromTo(root.querySelector('img'), { opacity: 0.3 }, { opacity: 1, duration: 1 });
  return timeline;
}

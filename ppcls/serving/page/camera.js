// Photos from the camera.

import { find } from "./dom.js";

/** Open the camera: a phone its own, from a file input; elsewhere the page shows one, where the browser lets it. */
export async function openCamera() {
  const touch = matchMedia("(pointer: coarse)").matches;
  if (touch || !navigator.mediaDevices) {
    find("capture").click();
    return;
  }
  if (find("shoot").hasAttribute("aria-disabled")) return; // a second click would interrupt the first
  find("shoot").setAttribute("aria-disabled", "true");
  try {
    find("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await find("video").play();
    find("camera").showModal();
  } catch (error) {
    closeCamera();
    find("status").textContent = `The camera cannot be used: ${error.message}`;
  } finally {
    find("shoot").removeAttribute("aria-disabled");
  }
}

export function closeCamera() {
  find("video").srcObject?.getTracks().forEach((track) => track.stop());
  find("video").srcObject = null;
}

/** Take a picture and give it to `add`. */
export function snap(add) {
  const video = find("video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
    add([new File([blob], `camera ${new Date().toLocaleTimeString()}.jpg`, { type: "image/jpeg" })]);
    find("camera").close();
  }, "image/jpeg", 0.92);
}

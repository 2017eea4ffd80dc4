"""The page of ``ppcls check`` in a real browser."""

import pytest

from tests.serving.page import all_of, browsing, needs_browser, until

pytestmark = [pytest.mark.browser, needs_browser]
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


def test_the_page_fits_a_phone_and_links_unfold_what_they_lead_to(spoiled, run, tmp_path):
    run("check", spoiled, "--workers", "1", code=1)
    with browsing(tmp_path) as driver:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
        driver.get((tmp_path / "photos_check.html").as_uri())
        assert driver.execute_script("return document.documentElement.scrollWidth") == 390
        is_open = "return document.getElementById('conflicting_labels').parentElement.open"
        assert not driver.execute_script(is_open)
        all_of(driver, "a[href='#conflicting_labels']")[0].click()
        until(driver, lambda: driver.execute_script(is_open))
        pictures = "return [...document.images].map(image => image.naturalWidth)"
        assert min(driver.execute_script(pictures)) > 0

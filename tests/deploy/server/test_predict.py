def test_one(client, photo):
    a = client.post("/predict", files={"file": ("a.png", photo)})
    print(a.status_code, a.text, a.headers)
    a = client.post("/saliency", files={"file": ("a.png", photo)})
    print(a.status_code, a.text, a.headers)
    print(client.get("/metrics").text[:3000])
    print(client.get("/openapi.json").status_code, client.get("/nope").text)
    assert 0

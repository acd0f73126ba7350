"""What tests share: sample media, scripted peers, fakes, and gateways in processes of their own."""
